# WEBrick with a Rack-like look at its CGI variables.
require "webrick"
require "json"

quiet = WEBrick::Log.new(File::NULL)
server = WEBrick::HTTPServer.new(Port: ARGV[0].to_i, BindAddress: "127.0.0.1",
                                 Logger: quiet, AccessLog: [])
server.mount_proc("/") do |request, response|
  path = request.path
  page = path.start_with?("/private/") ? "private" : "other"
  kept = request.meta_vars.select { |name, _| name !~ /^HTTP_/ && name !~ /PORT$/ }
  response["Content-Type"] = "application/json"
  seen = { page: page, method: request.request_method, path: path, host: request.host,
           scheme: request.request_uri.scheme,
           body: request.body.to_s, variables: kept }
  response.body = JSON.generate(seen)
end
trap("TERM") { server.shutdown }
server.start
