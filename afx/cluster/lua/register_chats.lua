-- Notes which channels a session reads and which it posts to. The node calls it.
-- A channel that some session reads and some session posts to is guarded: see
-- guarded_chats.py. None is ever taken out: a guard that is not needed only costs time.
-- KEYS: set of sources, set of destinations, set of guarded channels
-- ARGV: number of sources, then the sources, then the destinations
-- Answer: {1 if a channel has become guarded because of another session, else 0}, then
--   which of the channels are guarded
-- include: spoiled
for i = 1, 3 do
  require_type(KEYS[i], 'set')
end
local count = tonumber(ARGV[1])
local news = 0
for i = 2, #ARGV do
  local here, there = KEYS[1], KEYS[2]
  if i > count + 1 then
    here, there = there, here
  end
  if redis.call('SISMEMBER', there, ARGV[i]) == 1
    and redis.call('SISMEMBER', here, ARGV[i]) == 0 then
    news = 1
  end
end
local answer = {news}
for i = 2, #ARGV do
  redis.call('SADD', i > count + 1 and KEYS[2] or KEYS[1], ARGV[i])
end
for i = 2, #ARGV do
  if redis.call('SISMEMBER', KEYS[1], ARGV[i]) == 1
    and redis.call('SISMEMBER', KEYS[2], ARGV[i]) == 1 then
    redis.call('SADD', KEYS[3], ARGV[i])
    table.insert(answer, ARGV[i])
  end
end
return answer
