-- Takes the jobs of tasks from queues, for a worker that runs many at once.
-- KEYS: the node's record, RQ's record of the worker's executions, then the queues' lists
-- ARGV: incarnation, RQ's name of the worker, the time as RQ writes it, the time in seconds,
--   seconds after which an execution without a heartbeat is forgotten, most bytes of the data,
--   most bytes of the signature, names of the fields that a job may have as ",a,b,",
--   how many jobs to take at most in all, then for each queue how many at most
-- Answer: {"ENDED"} when this incarnation was fenced or replaced, {"CLOCK"} when the node's clock
--   differs from the leader's by minutes: it would take what it then refuses as expired; or for
--   each job
--   {queue's number, id, "missing"}: it has expired
--   {queue's number, id, "refused", why}
--   {queue's number, id, "ok", data, signature}
-- What is too large stays in Redis: it would cost the node its memory.
local node = redis.call('HMGET', KEYS[1], 'incarnation', 'state')
if node[1] ~= ARGV[1] or node[2] == 'fenced' or node[2] == 'left' then
  return {{'ENDED'}}
end
-- The leader's clock, as seconds that it is ahead of this Redis's (see publish_tasks.lua).
local ahead = redis.pcall('GET', 'afx:tasks:clock')
ahead = type(ahead) == 'string' and tonumber(ahead)
if ahead and math.abs(tonumber(redis.call('TIME')[1]) + ahead - tonumber(ARGV[4])) > 300 then
  return {{'CLOCK'}}
end
local allowed = ARGV[8]
local forget_at = string.format('%.0f', tonumber(ARGV[4]) + tonumber(ARGV[5]))

local function read(id)
  local job = 'rq:job:' .. id
  local kind = redis.call('TYPE', job).ok
  if kind == 'none' then
    return {'missing'}
  elseif kind ~= 'hash' then
    return {'refused', "The job's key is not a hash."}
  elseif redis.call('HLEN', job) > 40 then
    return {'refused', 'The job has too many fields.'}
  elseif redis.call('HSTRLEN', job, 'data') > tonumber(ARGV[6])
    or redis.call('HSTRLEN', job, 'signature') > tonumber(ARGV[7]) then
    return {'refused', 'The job is too large.'}
  end
  for _, name in ipairs(redis.call('HKEYS', job)) do
    if not string.find(allowed, ',' .. name .. ',', 1, true)
      and redis.call('HSTRLEN', job, name) > 0 then
      return {'refused', 'No signature covers the field ' .. string.sub(name, 1, 64) .. '.'}
    end
  end
  local found = redis.call('HMGET', job, 'data', 'signature')
  return {'ok', found[1] or '', found[2] or ''}
end

local answers = {}
for i = 3, #KEYS do
  local most = math.min(tonumber(ARGV[7 + i]), tonumber(ARGV[9]) - #answers)
  if most > 0 and redis.call('TYPE', KEYS[i]).ok == 'list' then
    local queue = string.sub(KEYS[i], 10)
    for _, id in ipairs(redis.call('LPOP', KEYS[i], most) or {}) do
      local shown = string.sub(id, 1, 100)
      local found = #id > 100 and {'refused', "The job's id is malformed."} or read(id)
      if found[1] == 'ok' then
        redis.call('HSET', 'rq:job:' .. id, 'status', 'started', 'started_at', ARGV[3],
                   'worker_name', ARGV[2])
        -- For people: what has another type must not swallow the job.
        local execution = id .. ':1'
        redis.pcall('ZADD', 'rq:wip:' .. queue, forget_at, execution)
        redis.call('EXPIRE', 'rq:wip:' .. queue, 3600)
        redis.pcall('HSET', 'rq:execution:' .. execution, 'job_id', id, 'created_at', ARGV[4],
                    'last_heartbeat', ARGV[4], 'worker_name', ARGV[2])
        redis.call('EXPIRE', 'rq:execution:' .. execution, ARGV[5])
        redis.pcall('SADD', KEYS[2], execution)
      end
      table.insert(found, 1, shown)
      table.insert(found, 1, i - 2)
      answers[#answers + 1] = found
    end
  end
end
if #answers > 0 then
  redis.call('EXPIRE', KEYS[2], ARGV[5])
end
return answers
