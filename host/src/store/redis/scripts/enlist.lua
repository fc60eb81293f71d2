-- Lists a host as alive, and forgets those that were not heard of for a while.
-- KEYS: hosts. ARGV: the host's id, its card, for how long it is listed in ms.
-- Answers the cards of all that are listed.
local now = now_ms()

redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', now + tonumber(ARGV[3])) .. ' ' .. ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
local cards = {}
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  local until_ms, card = fields[i + 1]:match('^(%d+) (.*)$')
  if until_ms and tonumber(until_ms) > now then
    cards[#cards + 1] = card
  else
    redis.call('HDEL', KEYS[1], fields[i])
  end
end
return {now, cards}
