-- Commits a session's progress: cursor, links, entities. Only for its owner.
-- KEYS: assignment, cursor
-- ARGV: incarnation, epoch, link seconds to live, JSON of
--   {cursor = {field, value, ...}, hashes = {{key, field, value, ...}, ...}}
-- Answer: 1, or 0 when the session belongs to another incarnation or epoch,
--   or -1 when Redis has lost whose it is: the leader will say so again
local held = redis.call('HMGET', KEYS[1], 'incarnation', 'epoch')
if not held[2] then
  return -1
end
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then
  return 0
end
local what = cjson.decode(ARGV[4])
if #what.cursor > 0 then
  redis.call('HSET', KEYS[2], unpack(what.cursor))
end
for _, hash in ipairs(what.hashes) do
  redis.call('HSET', unpack(hash))
  redis.call('EXPIRE', hash[1], ARGV[3])
end
return 1
