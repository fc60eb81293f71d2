-- Gives back a lease that still holds the caller's token.
-- KEYS: value (for its name only), lease, waiters. ARGV: token. Answers whether it did.
local now = now_ms()

if not holds(KEYS[2], ARGV[1]) then
  return {now, 0}
end
redis.call('DEL', KEYS[2])
settled(KEYS[1], KEYS[3])
return {now, 1}
