-- Makes a session's node the owner of a pool's lane: what an earlier one has asked for, and no
-- sender has taken, is not asked for any more; what one has taken stays in doubt.
-- KEYS: assignment of the owning session, lane, the destinations of its rule's lanes, the rules of
--   which anything is stored
-- ARGV: incarnation, epoch, session, seconds that the lane is stored
-- Answer: {1, fence, sender, sequence, then id, sender of each send that is in doubt}; {0} when
--   another incarnation or epoch owns the session, {-1} when Redis has lost its owner. With them
--   what was sent by the last order: a new owner may have looked for its links before it was
-- include: spoiled
-- include: pool
local verdict = has_session(KEYS[1], ARGV[1], ARGV[2])
if verdict ~= 1 then
  return {verdict}
end
require_type(KEYS[2], 'hash')
local lane = redis.call('HMGET', KEYS[2], 'fence', 'state', 'run', 'ids', 'sender', 'names')
local fence = string.format('%.0f', (whole(lane[1]) or 0) + 1)
if lane[2] == 'put' and lane[3] ~= this_process() then
  for id in string.gmatch(lane[4] or '', '%-?%d+') do
    doubt(KEYS[2], id, lane[5], lane[6])
  end
  redis.call('HSET', KEYS[2], 'taken', redis.call('TIME')[1])
end
redis.call('HSET', KEYS[2], 'owner', ARGV[3], 'fence', fence, 'state', '')
redis.call('HDEL', KEYS[2], 'order', 'ids', 'answer')
redis.call('EXPIRE', KEYS[2], ARGV[4])
require_type(KEYS[3], 'set')
redis.call('SADD', KEYS[3], string.match(KEYS[2], ':(%-?%d+)$'))
redis.call('EXPIRE', KEYS[3], ARGV[4])
require_type(KEYS[4], 'set')
redis.call('SADD', KEYS[4], string.match(KEYS[3], ':(%d+)$'))
local kept = redis.call('HMGET', KEYS[2], 'sender', 'sequence', 'sent', 'poster')
local found = {1, fence, kept[1] or '', kept[2] or '0'}
for id in string.gmatch(kept[3] or '', '%-?%d+') do
  found[#found + 1] = id
  found[#found + 1] = kept[4] or kept[1] or '0'
end
local fields = redis.call('HGETALL', KEYS[2])
for i = 1, #fields, 2 do
  local id = string.match(fields[i], '^doubt:(%-?%d+)$')
  if id then
    found[#found + 1] = id
    found[#found + 1] = fields[i + 1]
  end
end
return found
