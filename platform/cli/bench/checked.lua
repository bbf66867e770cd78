-- Loaded by wrk (load.py): looks at the status and the body of every answer, and prints the result as one line of JSON.

wrk.headers["api-key"] = os.getenv("CLOUDSERVE_BENCH_KEY")

local threads = {}

function setup(thread)
   table.insert(threads, thread)
end

function init(arguments)
   expected = arguments[1]
   wrong = 0
   example = ""
end

function response(status, _, body)
   if status ~= 200 or body ~= expected then
      wrong = wrong + 1
      example = status .. " " .. string.sub(body, 1, 200):gsub("[%c\"\\]", " ")
   end
end

function done(summary, latency, _)
   local wrong_answers, sample = 0, ""
   for _, thread in ipairs(threads) do
      wrong_answers = wrong_answers + thread:get("wrong")
      sample = thread:get("example")
   end
   local errors = summary.errors
   io.write(string.format(
      '\n{"requests": %d, "microseconds": %d, "wrong": %d, "example": "%s", "broken": %d, "p50": %d, "p99": %d}\n',
      summary.requests, summary.duration, wrong_answers, sample,
      errors.connect + errors.read + errors.write + errors.timeout,
      latency:percentile(50), latency:percentile(99)))
end
