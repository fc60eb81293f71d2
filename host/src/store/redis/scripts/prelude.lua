-- The beginning of every script. Each script answers {the server's clock in ms, its answer}.

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- A value of another type under the lease's name (pcall answers an error) is not the token.
local function holds(lease, token)
  return redis.pcall('GET', lease) == token
end

-- The lease on `name` ended: tells the hosts that asked for it (wait.lua). A user that may not
-- publish loses the push, not the operation: waiters also look when the lease has run out.
local function settled(name, waiters)
  if redis.call('DEL', waiters) == 1 then
    redis.pcall('PUBLISH', '@settled', name)
  end
end
