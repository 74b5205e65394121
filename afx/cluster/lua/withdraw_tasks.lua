-- Takes the jobs of tasks back, unless a node has them.
-- KEYS: term
-- ARGV: term, then a queue and a job id for each job
-- Answer: for each job
--   "withdrawn": it was in its queue, or Redis does not have it any more
--   "started:WORKER": a worker of RQ's has it
--   or "FENCED" for an old term
-- include: prelude
-- include: spoiled
local answers = {}
for i = 2, #ARGV, 2 do
  local queue, job = 'rq:queue:' .. ARGV[i], 'rq:job:' .. ARGV[i + 1]
  require_type(queue, 'list')
  require_type(job, 'hash')
  redis.call('LREM', queue, 1, ARGV[i + 1])
  local worker = redis.call('HGET', job, 'worker_name')
  if worker then
    answers[#answers + 1] = 'started:' .. worker
  else
    redis.call('DEL', job)
    answers[#answers + 1] = 'withdrawn'
  end
end
return answers
