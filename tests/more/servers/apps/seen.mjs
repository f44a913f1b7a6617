// What each of these apps answers: what it takes for the request's parts.
export const seen = (page, req, more = {}) => ({
  page, method: req.method, url: req.url, host: req.headers.host, ...more,
})
