-- The load of wrk: one kind of request to 127.0.0.1, whatever the host name says, and the result as one line of JSON.
local port = os.getenv('BENCH_PORT')
local size = tonumber(os.getenv('BENCH_BODY'))

function wrk.resolve(host, service)
  wrk.addrs = wrk.lookup('127.0.0.1', port)
end

wrk.method = size > 0 and 'PUT' or 'GET'
wrk.body = size > 0 and string.rep('x', size) or nil
wrk.headers['Accept'] = 'application/json'
wrk.headers['Accept-Encoding'] = 'identity'
wrk.headers['User-Agent'] = 'Boto3/1.40.1 md/Botocore#1.40.1 ua/2.1 os/linux#6.1.0 md/arch#x86_64 lang/python#3.13.1'
wrk.headers['amz-sdk-invocation-id'] = '4f8a8a4e-8d39-4bb1-a9f5-0d6d2fba2f10'
wrk.headers['amz-sdk-request'] = 'attempt=1'
wrk.headers['x-amz-content-sha256'] = 'UNSIGNED-PAYLOAD'
wrk.headers['X-Trace'] = '0123456789abcdef0123456789abcdef'
wrk.headers['Cache-Control'] = 'no-cache'
wrk.headers['Pragma'] = 'no-cache'
wrk.headers['Accept-Language'] = 'en'

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('{"requests":%d,"seconds":%f,"bytes":%d,"failed":%d,"p50Ms":%f,"p99Ms":%f}\n',
    summary.requests, summary.duration / 1e6, summary.bytes,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
