-- Takes sessions off the nodes that owned them; the epoch stays as a fence.
-- KEYS: term
-- ARGV: term, then a JSON list per item: [session, node, incarnation, epoch]
-- Answer: how many were released, or "FENCED" for an old term
-- include: prelude
-- include: spoiled
-- include: room
local count = 0
for i = 2, #ARGV do
  local session, node, incarnation, epoch = unpack(cjson.decode(ARGV[i]))
  local id = string.format('%d', session)
  local assignment = 'afx:session:' .. id .. ':assignment'
  require_type(assignment, 'hash')
  local owner = redis.call('HMGET', assignment, 'epoch', 'incarnation')
  local recorded = whole(owner[1])
  -- One whose epoch was never given out is released under epoch 0 (ownership.py).
  local spoiled = epoch == 0 and owner[1] and (not recorded or recorded < 0 or recorded > 2 ^ 46)
  if (recorded == epoch or spoiled) and owner[2] == incarnation then
    -- Without an owner, commits of the old one are refused from here on.
    redis.call('HSET', assignment, 'node', '', 'incarnation', '')
    local worker = 'afx:worker:' .. node
    require_type(worker, 'hash')
    if redis.call('HGET', worker, 'incarnation') == incarnation then
      drop_reservation(worker, id)
      add_to(worker, 'assigned', -1)
    end
    count = count + 1
  end
end
return count
