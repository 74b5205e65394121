-- Commits a session's progress: cursor and links. The node that owns it calls it.
-- KEYS: assignment, cursor
-- ARGV: incarnation, epoch, seconds that links are stored, JSON of the cursor as
--   {field, value, ...} with "" for a field that goes, then eight for each of these (see links.py):
--   "link", key, bytes of an offset, entries, hash of the rule's routes, route, block,
--     highest source id
--   "copy", key, bytes of an offset, entries without their origin's number, hash of the
--     destination's origins, origin, 0, 0
--   "intent", key, session, batch ("" for none), 0, 0, 0, 0
--   "report", stream, longest stream, reports (see reports.py), 0, 0, 0, 0
-- Answer: 1; 0 when another incarnation or epoch owns the session; or -1 when Redis has
--   lost its owner, whom the leader will write again
-- include: spoiled
-- include: blocks
local owner = redis.call('HMGET', KEYS[1], 'incarnation', 'epoch')
if not owner[2] then
  return -1
end
if owner[1] ~= ARGV[1] or owner[2] ~= ARGV[2] then
  return 0
end
local seconds = ARGV[3]

local function note_intent(key, session, batch)
  require_type(key, 'hash')
  if batch == '' then
    redis.call('HDEL', key, session)
  else
    redis.call('HSET', key, session, batch)
    redis.call('EXPIRE', key, seconds)
  end
end

for i = 5, #ARGV, 8 do
  if ARGV[i] == 'intent' then
    note_intent(ARGV[i + 1], ARGV[i + 2], ARGV[i + 3])
  elseif ARGV[i] == 'report' then
    require_type(ARGV[i + 1], 'stream')
    redis.call('XADD', ARGV[i + 1], 'MAXLEN', '~', ARGV[i + 2], '*', 'reports', ARGV[i + 3])
  else
    note_links(i, seconds, false)
  end
end
local fields = {}
local cursor = cjson.decode(ARGV[4])
for i = 1, #cursor, 2 do
  if cursor[i + 1] == '' then
    redis.call('HDEL', KEYS[2], cursor[i])
  else
    fields[#fields + 1] = cursor[i]
    fields[#fields + 1] = cursor[i + 1]
  end
end
for i = 1, #fields, 1000 do
  redis.call('HSET', KEYS[2], unpack(fields, i, math.min(i + 999, #fields)))
end
return 1
