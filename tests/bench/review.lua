-- wrk's script: TokenReviews with the tokens of a file, one after the other; figures as JSON on the last line.
-- Arguments: FILE of tokens, one a line; FIRST, the one to begin with.

local tokens, at = {}, 0

function init(args)
  for line in io.lines(args[1]) do tokens[#tokens + 1] = line end
  at = tonumber(args[2])
  wrk.method = "POST"
  wrk.path = "/authenticate"
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["Accept"] = "application/json"
end

function request()
  at = at % #tokens + 1
  local body = '{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":{"token":"' .. tokens[at] .. '"}}'
  return wrk.format(nil, nil, nil, body)
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"seconds":%.6f,"p50":%.3f,"p99":%.3f,"failed":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout
  ))
end
