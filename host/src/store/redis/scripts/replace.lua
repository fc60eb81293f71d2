-- Writes a note in place of the one that the caller has read.
-- KEYS: note. ARGV: whether the caller has read one (1) or found none (0), what it has read, the new note, for
-- how long it is kept in ms. Answers whether it was written.
local now = now_ms()

local is = redis.call('GET', KEYS[1])
if ARGV[1] == '1' and is ~= ARGV[2] or ARGV[1] == '0' and is then
  return {now, 0}
end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
return {now, 1}
