-- What wrk sends (bench/running.py fills in the words in capitals by the environment): each request another one, made of
-- a canonical request by putting in fresh digests, so that neither the Idempotency-Key nor a cache answers it.
local head, item, tail = os.getenv("BENCH_HEAD"), os.getenv("BENCH_ITEM"), os.getenv("BENCH_TAIL")
local pieces, pause = tonumber(os.getenv("BENCH_PIECES")), tonumber(os.getenv("BENCH_PAUSE_MS"))
local run = os.getenv("BENCH_RUN")
local threads = 0

function setup(thread)
  thread:set("place", threads)
  threads = threads + 1
end

-- 24 hex digits are base64 as well; with 19 more letters and "=" they are a digest of 32 octets. The first 19 are the
-- same in all digests of a request, so that the rest of its body is made once and they are put in between: a generator
-- on the service's own cores should not make a hundred pieces anew each time.
function init(args)
  number = 0
  math.randomseed(place + os.time())
  headers = { ["Authorization"] = "Bearer " .. os.getenv("BENCH_TOKEN"), ["Content-Type"] = "application/json" }
  local before, after = item:match("^(.-)@(.*)$")
  local text = head .. before
  rest = {}
  for piece = 1, pieces do
    rest[piece] = text
    text = string.format("%05x", piece) .. "AAAAAAAAAAAAAAAAAAA=" .. after .. (piece < pieces and "," .. before or tail)
  end
  rest[pieces + 1] = text
end

function request()
  number = number + 1
  headers["Idempotency-Key"] = string.format("bench-%s-%d-%d", run, place, number)
  return wrk.format("POST", nil, headers, table.concat(rest, string.format("%s%03x%08x", run, place, number)))
end

if pause > 0 then
  function delay()
    return math.random(0, 2 * pause)
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "seconds": %f, "refused": %d, "broken": %d, "p50_ms": %f, "p99_ms": %f}\n',
    summary.requests, summary.duration / 1e6, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
