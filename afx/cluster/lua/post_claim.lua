-- Claims posts of a destination for sends: a post is the copy of one message.
-- KEYS: claims of the destination
-- ARGV: seconds that they are stored, then id, random_id of each post
-- Answer: 1; 0 when another send has one of them: then none is claimed
-- include: spoiled
require_type(KEYS[1], 'hash')
for i = 2, #ARGV, 2 do
  local whose = redis.call('HGET', KEYS[1], ARGV[i])
  if whose and whose ~= ARGV[i + 1] then
    return 0
  end
end
for i = 2, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 1
