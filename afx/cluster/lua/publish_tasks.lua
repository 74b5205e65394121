-- Puts the signed jobs of tasks into their queues, and wakes nodes.
-- KEYS: term
-- ARGV: term, the time as RQ writes it, seconds that a job is kept, number of jobs, the time in
--   seconds, then for each job: queue, job id, data, signature, description, time-out in seconds;
--   then the control queues of the nodes to wake
-- Answer: how many jobs were new, or "FENCED" for an old term
-- include: prelude
-- include: spoiled
local count = tonumber(ARGV[4])
local new = 0
require_type('rq:queues', 'set')
for i = 1, count do
  local at = 5 + (i - 1) * 6
  local queue, id = 'rq:queue:' .. ARGV[at + 1], ARGV[at + 2]
  local job = 'rq:job:' .. id
  require_type(job, 'hash')
  -- An id is published once; a script that is repeated adds nothing.
  if redis.call('EXISTS', job) == 0 then
    require_type(queue, 'list')
    redis.call('HSET', job, 'data', ARGV[at + 3], 'signature', ARGV[at + 4],
               'description', ARGV[at + 5], 'timeout', ARGV[at + 6], 'status', 'queued',
               'origin', ARGV[at + 1], 'created_at', ARGV[2], 'enqueued_at', ARGV[2])
    redis.call('EXPIRE', job, ARGV[3])
    redis.call('RPUSH', queue, id)
    redis.call('SADD', 'rq:queues', queue)
    new = new + 1
  end
end
-- By it nodes see whether their clocks are right: a job is valid for a time only.
local ahead = tonumber(ARGV[5]) - tonumber(redis.call('TIME')[1])
redis.call('SET', 'afx:tasks:clock', string.format('%.0f', ahead), 'EX', ARGV[3])
for i = 6 + count * 6, #ARGV do
  local queue = 'rq:queue:' .. ARGV[i]
  require_type(queue, 'list')
  if redis.call('LRANGE', queue, -1, -1)[1] ~= '!wake' then
    redis.call('RPUSH', queue, '!wake')
  end
end
return new
