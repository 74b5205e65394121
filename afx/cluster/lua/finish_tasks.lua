-- Notes in RQ's records that jobs of tasks have ended on this worker.
-- KEYS: RQ's record of the worker's executions
-- ARGV: the time as RQ writes it, the time in seconds, then for each job: queue, id, status,
--   seconds that it is kept, the call without its arguments
-- Answer: how many there were
-- What is left of a job is small: RQ's tools show it until it expires.
local count = 0
for i = 3, #ARGV, 5 do
  local queue, id, status, seconds = ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3])
  local job, execution = 'rq:job:' .. id, id .. ':1'
  local old = redis.pcall('HMGET', job, 'description', 'created_at', 'started_at', 'timeout')
  redis.call('DEL', job, 'rq:execution:' .. execution)
  redis.pcall('ZREM', 'rq:wip:' .. queue, execution)
  redis.pcall('SREM', KEYS[1], execution)
  if status ~= 'gone' and not old.err and old[1] then
    redis.call('HSET', job, 'data', ARGV[i + 4], 'description', old[1], 'created_at',
               old[2] or ARGV[1], 'started_at', old[3] or ARGV[1], 'ended_at', ARGV[1],
               'status', status, 'origin', queue, 'timeout', old[4] or '60')
    redis.call('EXPIRE', job, seconds)
    local registry = (status == 'finished' and 'rq:finished:' or 'rq:failed:') .. queue
    redis.pcall('ZADD', registry, string.format('%.0f', tonumber(ARGV[2]) + seconds), id)
    redis.pcall('ZREMRANGEBYSCORE', registry, '-inf', ARGV[2])
    redis.pcall('EXPIRE', registry, 3600)
  end
  count = count + 1
end
return count
