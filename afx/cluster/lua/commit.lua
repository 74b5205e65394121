-- Commits a session's progress: cursor and links. The node that owns it calls it.
-- KEYS: assignment, cursor
-- ARGV: incarnation, epoch, seconds that links are stored, JSON of
--   {cursor = {field, value, ...}, hashes = {{key, field, value, ...}, ...}}
-- Answer: 1; 0 when another incarnation or epoch owns the session; or -1 when Redis has
--   lost its owner, whom the leader will write again
local owner = redis.call('HMGET', KEYS[1], 'incarnation', 'epoch')
if not owner[2] then
  return -1
end
if owner[1] ~= ARGV[1] or owner[2] ~= ARGV[2] then
  return 0
end
local progress = cjson.decode(ARGV[4])
if #progress.cursor > 0 then
  redis.call('HSET', KEYS[2], unpack(progress.cursor))
end
for _, hash in ipairs(progress.hashes) do
  redis.call('HSET', unpack(hash))
  redis.call('EXPIRE', hash[1], ARGV[3])
end
return 1
