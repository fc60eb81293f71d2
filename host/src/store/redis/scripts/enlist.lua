-- Lists a host as alive, and forgets hosts that have not listed themselves for long.
-- KEYS: hosts. ARGV: the host's id, its card, for how long it is listed in ms, for how long it is remembered
-- after that in ms.
-- Answers whether the host was listed before, whether no other host is remembered, and the cards of all that
-- are listed.
local now = now_ms()
local hosts = KEYS[1]

local was_listed = redis.call('HEXISTS', hosts, ARGV[1])
redis.call('HSET', hosts, ARGV[1], string.format('%.0f', now + tonumber(ARGV[3])) .. ' ' .. ARGV[2])
redis.call('PEXPIRE', hosts, string.format('%.0f', tonumber(ARGV[3]) + tonumber(ARGV[4])))
local cards, is_alone = {}, 1
local fields = redis.call('HGETALL', hosts)
for i = 1, #fields, 2 do
  local until_ms, card = fields[i + 1]:match('^(%d+) (.*)$')
  if until_ms and tonumber(until_ms) > now then
    cards[#cards + 1] = card
  end
  if not until_ms or tonumber(until_ms) + tonumber(ARGV[4]) <= now then
    redis.call('HDEL', hosts, fields[i])
  elseif fields[i] ~= ARGV[1] then
    is_alone = 0
  end
end
return {now, {was_listed, is_alone, cards}}
