-- Gives back room that reserve.lua took for sessions that do not move there after all.
-- KEYS: term
-- ARGV: term, then a JSON list per item: [session, node, incarnation]
-- Answer: how many reservations were dropped, or "FENCED" for an old term
-- include: prelude
-- include: spoiled
-- include: room
local count = 0
for i = 2, #ARGV do
  local session, node, incarnation = unpack(cjson.decode(ARGV[i]))
  local worker = 'afx:worker:' .. node
  require_type(worker, 'hash')
  if redis.call('HGET', worker, 'incarnation') == incarnation
     and drop_reservation(worker, string.format('%d', session)) then
    add_to(worker, 'assigned', -1)
    count = count + 1
  end
end
return count
