-- Returns what has become of an order of a pool's lane. While there is no answer, the node that
-- has the sender by now is told again: it may have moved.
-- KEYS: assignment of the owning session, lane
-- ARGV: incarnation, epoch, fence, sequence, sender, what is told to its node,
--   1 to take the order back if the sender has not taken it; where no node has the sender, it is
--   taken back without that, since nobody would take it
-- Answer: {"answered", answer}, {"put"}, {"taken"}, {"away"} (no node has the sender, who may have taken it),
--   {"back", "" or "away"} (it was taken back), {"lost"} (the lane has another fence or sequence),
--   or {"foreign"} when another incarnation or epoch owns the session
-- include: spoiled
-- include: pool
if has_session(KEYS[1], ARGV[1], ARGV[2]) == 0 then
  return {'foreign'}
end
require_type(KEYS[2], 'hash')
local lane = redis.call('HMGET', KEYS[2], 'fence', 'sequence', 'state', 'answer', 'run')
if lane[1] ~= ARGV[3] or lane[2] ~= ARGV[4] then
  return {'lost'}
end
local state = lane[3]
if state == 'answered' then
  return {state, lane[4] or ''}
elseif state ~= 'put' and state ~= 'taken' then
  return {'lost'}
end
local is_told = tell(ARGV[5], ARGV[6])
note_node(KEYS[2], ARGV[5], is_told)
if state == 'put' and (ARGV[7] == '1' or not is_told) and lane[5] == this_process() then
  redis.call('HSET', KEYS[2], 'state', '')
  redis.call('HDEL', KEYS[2], 'order', 'ids', 'names')
  return {'back', is_told and '' or 'away'}
end
return {is_told and state or 'away'}
