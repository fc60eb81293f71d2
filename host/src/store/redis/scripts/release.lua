-- Gives back a lease that is still the caller's.
-- KEYS: value (for its name only), lease, waiters. ARGV: token. Answers whether it was.
local now = now_ms()

if not holds(KEYS[2], ARGV[1]) then
  return {now, 0}
end
redis.call('DEL', KEYS[2])
settled(KEYS[1], KEYS[3])
return {now, 1}
