-- Stores what a sender has made of the order of a pool's lane, with its links, and tells the owner.
-- KEYS: assignment of the sender, lane, its posters
-- ARGV: incarnation, epoch, seconds that links are stored, fence, sequence, answer, ids that are
--   in doubt no more as "a,b,", what is told to the owner's node, who has made the copies, these as
--   "a,b,", the ids that were sent as "a,b,", then eight for each block of links (see commit.lua)
-- Answer: 1; 0 when another incarnation or epoch has the sender, or when the lane has another
--   fence or sequence: the owner has made something else of it
-- include: spoiled
-- include: blocks
-- include: pool
if has_session(KEYS[1], ARGV[1], ARGV[2]) ~= 1 then
  return 0
end
require_type(KEYS[2], 'hash')
local lane = redis.call('HMGET', KEYS[2], 'fence', 'sequence', 'state', 'owner', 'epoch')
if lane[1] ~= ARGV[4] or lane[2] ~= ARGV[5] or lane[3] ~= 'taken' or lane[5] ~= ARGV[2] then
  return 0
end
for i = 12, #ARGV, 8 do
  note_links(i, ARGV[3], false)
end
for id in string.gmatch(ARGV[7], '%-?%d+') do
  settle(KEYS[2], id)
end
if ARGV[10] ~= '' then
  note_posters(KEYS[2], KEYS[3], ARGV[10], ARGV[9], ARGV[3])
end
redis.call('HSET', KEYS[2], 'state', 'answered', 'answer', ARGV[6], 'sent', ARGV[11],
           'poster', ARGV[9])
if (redis.call('HGET', KEYS[2], 'ids') or '') ~= '' then
  redis.call('HSET', KEYS[2], 'taken', redis.call('TIME')[1])
end
redis.call('HDEL', KEYS[2], 'order', 'ids', 'names')
redis.call('EXPIRE', KEYS[2], ARGV[3])
tell(whole(lane[4]) and lane[4] or '0', ARGV[8])
return 1
