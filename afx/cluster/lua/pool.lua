-- Functions of the lanes of sender pools (see pools.py), included by the scripts of their owners
-- and senders. Include spoiled.lua first.

-- 1 if an incarnation has a session under an epoch, 0 if another one has, -1 if Redis has
-- lost its owner, whom the leader will write again.
local function has_session(assignment, incarnation, epoch)
  require_type(assignment, 'hash')
  local owner = redis.call('HMGET', assignment, 'incarnation', 'epoch')
  if not owner[2] then
    return -1
  end
  return owner[1] == incarnation and owner[2] == epoch and 1 or 0
end

-- Tells the node that has a session to look at a lane; false if no node has it.
local function tell(session, entry)
  local assignment = 'afx:session:' .. session .. ':assignment'
  require_type(assignment, 'hash')
  local at = redis.call('HMGET', assignment, 'node', 'incarnation')
  if not at[1] or at[1] == '' or not at[2] or at[2] == '' then
    return false
  end
  local inbox = 'afx:inbox:' .. at[2]
  require_type(inbox, 'list')
  if not redis.call('LPOS', inbox, entry) then
    redis.call('RPUSH', inbox, entry)
    redis.call('EXPIRE', inbox, 3600)
  end
  local queue = 'rq:queue:node-' .. at[1] .. '-' .. at[2]
  if redis.call('TYPE', queue).ok == 'none' or
    (redis.call('TYPE', queue).ok == 'list' and redis.call('LINDEX', queue, -1) ~= '!wake') then
    redis.call('RPUSH', queue, '!wake')
  end
  return true
end

-- Which Redis process this is. Another one may have lost its last writes: an order that is there
-- as untaken may have been taken.
local function this_process()
  return redis.call('INFO', 'server'):match('run_id:(%w+)')
end
