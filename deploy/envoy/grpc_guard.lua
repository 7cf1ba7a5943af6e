-- gRPC: only the public models may be named. Every model of an ensemble can also be called by its own name, so a route alone
-- would let a client call an internal step; the name stands in the message, hence a look into its first bytes.
-- The message is protobuf: field 1 of ModelInferRequest (model_name) and of ModelReadyRequest (name) is the model's name.
-- Protobuf fixes no order of fields and lets the last of several win, so all top-level fields are walked and every
-- field 1 must be a public name. gRPC puts five bytes in front: a compression flag and the length.

local PUBLIC = {
  recommendations = true,
  recommendations_json = true,
  similar_items = true,
  similar_items_json = true,
}

local function varint(text, at)
  local value, factor = 0, 1
  for i = at, at + 9 do
    local byte = text:byte(i)
    if not byte then return nil end
    value = value + (byte % 128) * factor
    if byte < 128 then return value, i + 1 end
    factor = factor * 128
  end
  return nil
end

-- Returns true when at least one field 1 is there and all of them are public names.
local function names_public_model(text)
  local at, found = 1, false
  while at <= #text do
    local tag, after = varint(text, at)
    if not tag then return false end
    local wire = tag % 8
    local field = (tag - wire) / 8
    if wire == 2 then
      local size, start = varint(text, after)
      if not size or start + size - 1 > #text then return false end
      if field == 1 then
        if not PUBLIC[text:sub(start, start + size - 1)] then return false end
        found = true
      end
      at = start + size
    elseif wire == 0 then
      local value
      value, at = varint(text, after)
      if not value then return false end
    elseif wire == 1 then
      at = after + 8
    elseif wire == 5 then
      at = after + 4
    else
      return false -- groups: not of this message
    end
  end
  return found and at == #text + 1
end

-- Envoy turns a 403 to a gRPC request into PERMISSION_DENIED and a 404 into UNIMPLEMENTED.
function envoy_on_request(handle)
  local body = handle:body(true)
  local size = body:length()
  if size < 5 then
    handle:respond({ [":status"] = "403" }, "expected a message that names a model")
    return
  end
  local text = body:getBytes(0, size)
  if text:byte(1) ~= 0 then
    handle:respond({ [":status"] = "404" }, "compressed requests are not accepted; send them uncompressed")
    return
  end
  local a, b, c, d = text:byte(2, 5)
  if ((a * 256 + b) * 256 + c) * 256 + d ~= size - 5 or not names_public_model(text:sub(6)) then
    handle:respond({ [":status"] = "403" }, "only recommendations, similar_items, and both with _json, are public models")
  end
end
