<?php
// PHP's streams: call.php FORM URL... asks for each, then posts to the last.
[$form, $urls] = [$argv[1], array_slice($argv, 2)];

function ask(string $form, string $method, string $url, string $body = ""): void
{
    $fields = ["Content-Type: text/plain"];
    $options = ["method" => $method, "content" => $body, "ignore_errors" => true];
    if ($form === "path") {
        $fields[] = "Portal-Token: " . getenv("PORTAL_TOKEN");
    }
    if ($form === "proxy") {
        $proxy = parse_url(getenv("HTTP_PROXY"));
        $options += ["proxy" => "tcp://$proxy[host]:$proxy[port]", "request_fulluri" => true];
        $fields[] = "Proxy-Authorization: Basic " . base64_encode("$proxy[user]:$proxy[pass]");
    }
    $context = stream_context_create(["http" => $options + ["header" => $fields]]);
    $said = file_get_contents($url, false, $context);
    $statuses = preg_grep('#^HTTP/#', $http_response_header);
    echo explode(" ", end($statuses))[1], " ", $said, "\n";
}

foreach ($urls as $url) {
    ask($form, "GET", $url);
}
ask($form, "POST", end($urls), "Hi");
