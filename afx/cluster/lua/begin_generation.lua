-- Notes the newest generation of epochs, and whether this Redis has lost its data.
-- KEYS: term, generation, unsettled, proof of the generation
-- ARGV: term, generation, milliseconds that a node may run of which a Redis that has lost
--   its data knows nothing; 0 when no node can run; 1 when its generation is an earlier one;
--   the proof
-- Answer: for how many milliseconds such nodes may still run; or "FENCED" for an old term
-- include: prelude
if ARGV[3] ~= '0' and (ARGV[4] == '1' or redis.call('EXISTS', KEYS[2]) == 0) then
  redis.call('SET', KEYS[3], ARGV[2], 'PX', ARGV[3])
end
redis.call('SET', KEYS[2], ARGV[2])
redis.call('SET', KEYS[4], ARGV[5])
return redis.call('PTTL', KEYS[3])
