-- Writes fields of a range: new floors, or notes of epochs and namings.
-- KEYS: range. ARGV: how long the range is kept in ms, a new version, and for each field: its name and
-- its content.
local now = now_ms()

for i = 3, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
redis.call('HSET', KEYS[1], 'version', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return {now, 1}
