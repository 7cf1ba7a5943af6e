-- POST /v1/recommendations and /v1/similar-items: turns Triton's binary answer into the JSON that the model wrote.
-- The answer is a JSON header (its length stands in Inference-Header-Content-Length), then the one string tensor: four bytes
-- of length (little endian) and the text. Nothing is parsed here: what the model wrote is what the client gets.

local function answer(handle, status, text)
  local length = handle:body(true):setBytes(text)
  local headers = handle:headers()
  headers:replace(":status", status)
  headers:replace("content-type", "application/json")
  headers:replace("content-length", tostring(length))
  headers:remove("inference-header-content-length")
end

function envoy_on_response(handle)
  local headers = handle:headers()
  if headers:get("content-type") == "application/json" then
    return -- Envoy's own reply (time-out, no healthy server): JSON already
  end
  local status = headers:get(":status")
  local header_size = tonumber(headers:get("inference-header-content-length") or "")
  -- Waits for the whole body; headers fetched before may not be used after it.
  local body = handle:body(true)
  local size = body:length()
  if status == "200" and header_size and size >= header_size + 4 then
    local a, b, c, d = body:getBytes(header_size, 4):byte(1, 4)
    local text_size = a + 256 * (b + 256 * (c + 256 * d))
    if text_size == size - header_size - 4 then
      answer(handle, "200", body:getBytes(header_size + 4, text_size))
      return
    end
  end
  if status == "400" then
    -- A step refused the request; Triton wraps its text in {"error": ...} and names the ensemble in front of it.
    answer(handle, "400", (body:getBytes(0, size):gsub("in ensemble '[%w_]+', ", "", 1)))
  elseif status == "200" then
    answer(handle, "502", '{"error":"the recommender answered in an unknown format"}')
  else
    -- Triton's text may hold a stack trace with paths: that belongs to its log, not to clients.
    handle:logErr("triton answered " .. status .. ": " .. body:getBytes(0, math.min(size, 2000)))
    local ours = (status == "500") and "500" or "503"
    answer(handle, ours, '{"error":"the recommender could not answer; try again"}')
  end
end
