-- The edge's part: believe no tag from outside, let the first rule that holds decide, tag the request.
-- `RULES` and `LANE` are put in front of this.

local function cookies_of(text)
  local cookies = {}
  if text then
    for name, value in string.gmatch(text, "([^=;%s]+)=([^;]*)") do
      if cookies[name] == nil then
        cookies[name] = value
      end
    end
  end
  return cookies
end

local function query_of(path)
  local query = {}
  local _, _, text = string.find(path, "%?(.*)$")
  if text then
    for name, value in string.gmatch(text, "([^=&]+)=([^&]*)") do
      if query[name] == nil then
        query[name] = value
      end
    end
  end
  return query
end

-- What the rules look at; parsed on first use, and at most once.
local function value_of(request, rule)
  local headers = request.headers
  if rule.subject == "cookie" then
    request.cookies = request.cookies or cookies_of(headers:get("cookie"))
    return request.cookies[rule.name]
  elseif rule.subject == "query" then
    request.query = request.query or query_of(headers:get(":path"))
    return request.query[rule.name]
  elseif rule.subject == "path" then
    request.path = request.path or string.match(headers:get(":path"), "^[^?]*")
    return request.path
  end
  local seen = request.seen[rule.name]
  if seen == nil then
    seen = headers:get(rule.name) or false
    request.seen[rule.name] = seen
  end
  return seen
end

local function holds(rule, value)
  if not value then
    return false
  elseif rule.operator == "exact" then
    return value == rule.value
  elseif rule.operator == "prefix" then
    return string.sub(value, 1, #rule.value) == rule.value
  end
  return string.find(value, rule.value, 1, true) ~= nil
end

local function matches(headers)
  local request = { headers = headers, seen = {} }
  for _, rule in ipairs(RULES) do
    if holds(rule, value_of(request, rule)) then
      return true
    end
  end
  return false
end

local function without_member(baggage)
  local rest = string.gsub("," .. baggage, ",%s*canary%-lane=[^,]*", "")
  return string.sub(rest, 2)
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local baggage = headers:get("baggage")
  local rest = baggage and without_member(baggage)
  if not matches(headers) then
    headers:remove("x-canary-lane")
    if rest == "" then
      headers:remove("baggage")
    elseif rest ~= baggage then
      headers:replace("baggage", rest)
    end
    return
  end
  headers:replace("x-canary-lane", LANE)
  if rest and rest ~= "" then
    headers:replace("baggage", rest .. ",canary-lane=" .. LANE)
  else
    headers:replace("baggage", "canary-lane=" .. LANE)
  end
  handle:clearRouteCache()
end
