<?php
// PHP's own server, with a router as they are often written.
$path = rawurldecode(parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH) ?: '/');
$path = rtrim($path, '/') ?: '/';
$page = $path === '/private' || str_starts_with($path, '/private/') ? 'private' : 'other';
$seen = ['page' => $page, 'path' => $path, 'host' => $_SERVER['HTTP_HOST'] ?? null];
foreach ($_SERVER as $name => $value) {
    if (preg_match('/^(PATH|SCRIPT_NAME|REQUEST_(METHOD|URI)|PHP_SELF|REMOTE_(ADDR|USER)|HTTPS|SERVER_NAME)/', $name)) {
        $seen[$name] = is_string($value) ? $value : null;
    }
}
unset($seen['PATH']);
if ($path === '/public/fields') {
    $seen['fields'] = preg_grep('/^HTTP_/', array_keys($_SERVER));
}
$seen['body'] = file_get_contents('php://input');
if (preg_match('#^/public/status/(204|304)$#', $path, $found)) {
    http_response_code((int) $found[1]);
}
header('Content-Type: application/json');
echo json_encode($seen, JSON_INVALID_UTF8_SUBSTITUTE);
