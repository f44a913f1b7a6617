# Ruby's Net::HTTP: call.rb FORM URL... asks for each, then posts to the last.
require "net/http"

FORM, *URLS = ARGV

def ask(kind, url, body = nil)
  uri = URI(url)
  request = kind.new(uri)
  request["Portal-Token"] = ENV.fetch("PORTAL_TOKEN") if FORM == "path"
  request.body = body
  got = Net::HTTP.start(uri.hostname, uri.port) { |http| http.request(request) }
  # It follows no redirect by itself.
  return ask(Net::HTTP::Get, URI.join(url, got["Location"]).to_s) if got["Location"]

  puts "#{got.code} #{got.body}"
end

URLS.each { |url| ask(Net::HTTP::Get, url) }
ask(Net::HTTP::Post, URLS.last, "Hi")
