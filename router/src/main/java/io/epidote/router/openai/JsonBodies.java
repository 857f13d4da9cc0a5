package io.epidote.router.openai;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonLocation;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.util.JsonRecyclerPools;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.epidote.engine.error.EpidoteException;
import java.io.IOException;
import java.io.InputStream;
import org.jspecify.annotations.Nullable;

/** Parses bodies: one JSON value, of bounded depth, and nothing behind it. Thread-safe. */
final class JsonBodies {
  private final ObjectReader json;

  /**
   * @param maxBody bytes; no string in a body can be longer
   */
  JsonBodies(long maxBody) {
    JsonFactory factory =
        JsonFactory.builder()
            // The usual pool is one for each thread, which is new for every request.
            .recyclerPool(JsonRecyclerPools.sharedLockFreePool())
            .streamReadConstraints(
                StreamReadConstraints.builder()
                    .maxStringLength((int) Math.min(Integer.MAX_VALUE - 8, maxBody))
                    .maxNestingDepth(100)
                    .build())
            .build();
    json =
        JsonMapper.builder(factory)
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .build()
            .reader();
  }

  /**
   * @param body closed by this method
   * @throws EpidoteException.InvalidRequest when the body is not JSON
   */
  JsonNode parse(InputStream body) {
    try (body) {
      JsonNode root = json.readTree(body);
      if (root.isMissingNode()) {
        throw new EpidoteException.InvalidRequest(
            "The body is empty; expected a JSON object with the request's fields.");
      }
      return root;
    } catch (JsonProcessingException e) {
      JsonLocation at = e.getLocation();
      throw new EpidoteException.InvalidRequest(
          "The body is not JSON: line %d, column %d: %s. Expected one JSON object."
              .formatted(
                  at == null ? 0 : at.getLineNr(),
                  at == null ? 0 : at.getColumnNr(),
                  firstLine(e.getOriginalMessage())),
          e);
    } catch (IOException e) {
      throw new EpidoteException.InvalidRequest(
          "The body is not JSON: %s. Expected one JSON object in UTF-8.".formatted(e.getMessage()),
          e);
    }
  }

  private static String firstLine(@Nullable String message) {
    return message == null ? "unreadable" : message.lines().findFirst().orElse("unreadable");
  }
}
