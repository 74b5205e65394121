-- Reserves room for sessions on nodes, and makes the nodes their owners.
-- KEYS: term
-- ARGV: term, then a JSON list per item:
--   [session, node, incarnation, epoch, bytes, headroom bytes, headroom share,
--    share of the RAM that is kept for others]
--   With epoch 0 the room is only kept, for a session that another node still
--   runs; its real place later finds that room and needs no other.
-- Answer: for each item "OK", "NOFIT" or "STALE"; STALE also for a node that this
--   leader has not counted yet (correct.lua): Redis may have lost what it has
if (redis.call('GET', KEYS[1]) or '0') ~= ARGV[1] then
  local all = {}
  for i = 2, #ARGV do all[i - 1] = 'STALE' end
  return all
end
local answers = {}
for i = 2, #ARGV do
  local item = cjson.decode(ARGV[i])
  local session, node, incarnation = item[1], item[2], item[3]
  local epoch, bytes = item[4], item[5]
  local worker = 'afx:worker:' .. node
  local held = redis.call('HMGET', worker, 'incarnation', 'state', 'assigned', 'max_sessions',
                          'ram_free', 'ram_limit', 'reserved', 'counted')
  local id = string.format('%d', session)
  local assignment = 'afx:session:' .. id .. ':assignment'
  local last = tonumber(redis.call('HGET', assignment, 'epoch') or '0')
  if held[1] ~= incarnation or held[2] ~= 'ready' or held[8] ~= ARGV[1]
     or (epoch > 0 and last >= epoch) then
    answers[i - 1] = 'STALE'
  else
    local kept = redis.call('HGET', worker .. ':reserved', id)
    local limit = tonumber(held[6] or '0')
    local headroom = math.max(item[6], item[7] * limit) + (item[8] or 0) * limit
    local free = tonumber(held[5] or '0') - tonumber(held[7] or '0') - headroom
    if not kept and (tonumber(held[3] or '0') >= tonumber(held[4] or '0') or free < bytes) then
      answers[i - 1] = 'NOFIT'
    else
      if epoch > 0 then
        redis.call('HSET', assignment, 'node', node, 'incarnation', incarnation,
                   'epoch', string.format('%.0f', epoch))
      end
      if not kept then
        redis.call('HSET', worker .. ':reserved', id, string.format('%.0f', bytes))
        redis.call('HINCRBY', worker, 'reserved', string.format('%.0f', bytes))
        redis.call('HINCRBY', worker, 'assigned', 1)
      end
      answers[i - 1] = 'OK'
    end
  end
end
return answers
