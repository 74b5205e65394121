-- Gives a sender's node the order of a pool's lane. From now on its sends are in doubt, until they
-- are answered. What was taken under an older epoch is taken again: the same account asks again.
-- KEYS: assignment of the sender, lane
-- ARGV: incarnation, epoch, sender
-- Answer: {1, order, fence, sequence, the ids of its sends as "a,b,", then those of them that were
--   in doubt before}; {0} when there is nothing for it
-- include: spoiled
-- include: pool
if has_session(KEYS[1], ARGV[1], ARGV[2]) ~= 1 then
  return {0}
end
require_type(KEYS[2], 'hash')
local lane = redis.call('HMGET', KEYS[2], 'sender', 'state', 'order', 'ids', 'fence', 'sequence',
                        'names')
if lane[1] ~= ARGV[3] or (lane[2] ~= 'put' and lane[2] ~= 'taken') or not lane[3] then
  return {0}
end
local found = {1, lane[3], lane[5] or '', lane[6] or '', lane[4] or ''}
for id in string.gmatch(lane[4] or '', '%-?%d+') do
  if not doubt(KEYS[2], id, ARGV[3], lane[7]) then
    found[#found + 1] = id
  end
end
if lane[4] and lane[4] ~= '' then
  redis.call('HSET', KEYS[2], 'taken', redis.call('TIME')[1])
end
note_node(KEYS[2], ARGV[3], true)
redis.call('HSET', KEYS[2], 'state', 'taken', 'epoch', ARGV[2])
return found
