package io.epidote.engine.text;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.file.Path;
import java.util.BitSet;
import java.util.HashMap;
import java.util.Map;

/**
 * The tokens of a tokenizer.json and which of them are special. Read as a stream: with its merges,
 * such a file is tens of megabytes, of which little is wanted.
 */
record VocabularyFile(Map<String, Integer> ids, BitSet special) {
  private static final JsonFactory JSON =
      JsonFactory.builder()
          .streamReadConstraints(
              // A vocabulary's tokens are keys; the default limit on names is for small objects.
              StreamReadConstraints.builder().maxNameLength(1 << 20).build())
          .build();

  static VocabularyFile read(Path file) {
    VocabularyFile vocabulary = new VocabularyFile(new HashMap<>(), new BitSet());
    try (JsonParser parser = JSON.createParser(file.toFile())) {
      if (parser.nextToken() != JsonToken.START_OBJECT) {
        throw new BadCheckpoint(file + " does not hold a JSON object");
      }
      while (parser.nextToken() == JsonToken.FIELD_NAME) {
        String key = parser.currentName();
        JsonToken value = parser.nextToken();
        if (key.equals("added_tokens") && value == JsonToken.START_ARRAY) {
          vocabulary.readAddedTokens(parser);
        } else if (key.equals("model") && value == JsonToken.START_OBJECT) {
          vocabulary.readModel(parser);
        } else {
          parser.skipChildren();
        }
      }
    } catch (FileNotFoundException e) {
      throw new BadCheckpoint(
          "%s is missing from %s; a model folder of Hugging Face form has it"
              .formatted(file.getFileName(), file.getParent()),
          e);
    } catch (JsonProcessingException e) {
      throw new BadCheckpoint("%s is not JSON: %s".formatted(file, e.getMessage()), e);
    } catch (IOException e) {
      throw new BadCheckpoint("%s cannot be read: %s".formatted(file, e), e);
    }
    return vocabulary;
  }

  private void readAddedTokens(JsonParser parser) throws IOException {
    while (parser.nextToken() == JsonToken.START_OBJECT) {
      String content = "";
      int id = -1;
      boolean isSpecial = false;
      while (parser.nextToken() == JsonToken.FIELD_NAME) {
        String key = parser.currentName();
        parser.nextToken();
        switch (key) {
          case "content" -> content = parser.getValueAsString("");
          case "id" -> id = parser.getValueAsInt(-1);
          case "special" -> isSpecial = parser.getValueAsBoolean(false);
          default -> parser.skipChildren();
        }
      }
      if (id >= 0) {
        ids.put(content, id);
        special.set(id, isSpecial);
      }
    }
  }

  private void readModel(JsonParser parser) throws IOException {
    while (parser.nextToken() == JsonToken.FIELD_NAME) {
      String key = parser.currentName();
      JsonToken value = parser.nextToken();
      if (key.equals("vocab") && value == JsonToken.START_OBJECT) {
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
          String token = parser.currentName();
          parser.nextToken();
          ids.putIfAbsent(token, parser.getValueAsInt(-1));
        }
      } else if (key.equals("vocab") && value == JsonToken.START_ARRAY) {
        readScoredPieces(parser);
      } else {
        parser.skipChildren();
      }
    }
  }

  /** Unigram's form: a list of [piece, score], the id is the place in the list. */
  private void readScoredPieces(JsonParser parser) throws IOException {
    for (int id = 0; parser.nextToken() == JsonToken.START_ARRAY; id++) {
      parser.nextToken();
      ids.putIfAbsent(parser.getValueAsString(""), id);
      while (parser.nextToken() != JsonToken.END_ARRAY) {
        parser.skipChildren();
      }
    }
  }
}
