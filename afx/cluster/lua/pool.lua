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

-- 1 if an incarnation has the owner of a lane under an epoch, and the lane its fence and no order
-- under way; -2 if the lane has not, else as has_session.
local function may_change(assignment, lane, incarnation, epoch, fence)
  local verdict = has_session(assignment, incarnation, epoch)
  if verdict ~= 1 then
    return verdict
  end
  require_type(lane, 'hash')
  local found = redis.call('HMGET', lane, 'fence', 'state')
  if found[1] ~= fence or found[2] == 'put' or found[2] == 'taken' then
    return -2
  end
  return 1
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

-- Notes that a sender may have made a send, and where to look for it: "source:message:the last
-- copy before it:Unix seconds". False if it was in doubt before.
local function doubt(lane, id, sender, names)
  if redis.call('HSETNX', lane, 'doubt:' .. id, sender) == 0 then
    return false
  end
  local of = string.match(',' .. (names or ''), ',' .. string.gsub(id, '%-', '%%-') .. ':([^,]*)')
  redis.call('HSET', lane, 'of:' .. id, (of or ':') .. ':' .. (redis.call('HGET', lane, 'top') or '0')
             .. ':' .. redis.call('TIME')[1])
  return true
end

-- Notes that a send is in doubt no more.
local function settle(lane, id)
  redis.call('HDEL', lane, 'doubt:' .. id, 'of:' .. id, 'verdict:' .. id)
end

-- Notes since when a sender is on no node: until then it may have been at work at an older order.
local function note_node(lane, sender, is_there)
  if is_there then
    redis.call('HDEL', lane, 'gone:' .. sender)
  else
    redis.call('HSETNX', lane, 'gone:' .. sender, redis.call('TIME')[1])
  end
end

-- Who has made a copy of a lane, as far as its posters tell; nil where they do not.
local function poster_of(posters, copy)
  local entry = redis.call('ZREVRANGEBYSCORE', posters, copy, 0, 'LIMIT', 0, 1)[1]
  return entry and string.match(entry, '^%d+:(%d+)')
end

-- Notes who has made some copies of a lane, as "a,b,", the lowest first. Copies of a lane rise: who
-- has made one has made those behind it, up to the next entry. Behind a copy that was found late
-- comes who was known before: that entry has a "-", since its copy may be no copy at all.
local function note_posters(lane, posters, copies, poster, seconds)
  require_type(posters, 'zset')
  local top = whole(redis.call('HGET', lane, 'top')) or 0
  for text in string.gmatch(copies, '%d+') do
    local copy = tonumber(text)
    if copy > top then
      if poster_of(posters, copy) ~= poster then
        redis.call('ZREMRANGEBYSCORE', posters, copy, copy)
        redis.call('ZADD', posters, copy, text .. ':' .. poster)
      end
      top = copy
    else
      local behind = string.format('%.0f', copy + 1)
      local who = copy < top and (poster_of(posters, behind) or '0')
      redis.call('ZREMRANGEBYSCORE', posters, copy, copy)
      if poster_of(posters, copy) ~= poster then
        redis.call('ZADD', posters, copy, text .. ':' .. poster)
      end
      if who and poster_of(posters, behind) ~= who then
        redis.call('ZADD', posters, behind, behind .. ':' .. who .. '-')
      end
    end
  end
  redis.call('HSET', lane, 'top', string.format('%.0f', top))
  redis.call('EXPIRE', posters, seconds)
end
