package io.epidote.router.kserve;

import com.google.protobuf.ByteString;
import io.epidote.proto.kserve.v2.ModelInferRequest;
import io.epidote.proto.kserve.v2.ModelInferRequest.InferInputTensor;
import io.epidote.router.request.InvalidField;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** The input tensors of a request by their names, whether their contents are typed or raw. */
final class InputTensors {
  private record Place(int index, InferInputTensor tensor) {}

  private final Map<String, Place> places = new HashMap<>();
  private final List<ByteString> raw;

  /**
   * @throws InvalidField when a tensor comes twice, or raw contents are not of all tensors
   */
  InputTensors(ModelInferRequest request) {
    this.raw = request.getRawInputContentsList();
    if (!raw.isEmpty() && raw.size() != request.getInputsCount()) {
      throw new InvalidField(
          "raw_input_contents",
          "has %d entries for %d inputs; expected one for each, or none"
              .formatted(raw.size(), request.getInputsCount()));
    }
    for (InferInputTensor tensor : request.getInputsList()) {
      if (places.put(tensor.getName(), new Place(places.size(), tensor)) != null) {
        throw new InvalidField("inputs." + tensor.getName(), "comes twice; expected once");
      }
    }
  }

  /**
   * Refuses tensors that nobody would read.
   *
   * @throws InvalidField naming the first of them
   */
  void expect(List<String> known) {
    for (String name : places.keySet()) {
      if (!known.contains(name)) {
        throw new InvalidField(
            "inputs." + name, "is no input of this model; expected " + String.join(", ", known));
      }
    }
  }

  /** Strings of one element; empty when there is no such tensor. */
  Optional<String> text(String name) {
    List<ByteString> elements = bytes(name);
    if (elements.isEmpty()) {
      return Optional.empty();
    }
    if (elements.size() != 1) {
      throw new InvalidField(
          path(name), "has %d elements; expected one string".formatted(elements.size()));
    }
    try {
      return Optional.of(
          StandardCharsets.UTF_8
              .newDecoder()
              .decode(elements.getFirst().asReadOnlyByteBuffer())
              .toString());
    } catch (CharacterCodingException e) {
      throw new InvalidField(path(name), "is not UTF-8; expected text in UTF-8");
    }
  }

  /** The elements of a tensor of BYTES; empty when there is no such tensor. */
  List<ByteString> bytes(String name) {
    Place place = places.get(name);
    if (place == null) {
      return List.of();
    }
    checkType(place.tensor(), "BYTES");
    List<ByteString> elements =
        raw.isEmpty()
            ? place.tensor().getContents().getBytesContentsList()
            : split(raw.get(place.index()), name);
    checkShape(place.tensor(), elements.size());
    return elements;
  }

  /** A tensor of one BOOL; empty when there is no such tensor. */
  Optional<Boolean> flag(String name) {
    Place place = places.get(name);
    if (place == null) {
      return Optional.empty();
    }
    checkType(place.tensor(), "BOOL");
    List<Boolean> elements = new ArrayList<>();
    if (raw.isEmpty()) {
      elements.addAll(place.tensor().getContents().getBoolContentsList());
    } else {
      for (byte element : raw.get(place.index())) {
        elements.add(element != 0);
      }
    }
    checkShape(place.tensor(), elements.size());
    if (elements.size() != 1) {
      throw new InvalidField(
          path(name), "has %d elements; expected one".formatted(elements.size()));
    }
    return Optional.of(elements.getFirst());
  }

  /** Each element has its length in four little-endian bytes in front. */
  private static List<ByteString> split(ByteString raw, String name) {
    List<ByteString> elements = new ArrayList<>();
    ByteBuffer lengths = raw.asReadOnlyByteBuffer().order(ByteOrder.LITTLE_ENDIAN);
    int at = 0;
    while (at < raw.size()) {
      long end =
          raw.size() - at < Integer.BYTES
              ? Long.MAX_VALUE
              : at + Integer.BYTES + Integer.toUnsignedLong(lengths.getInt(at));
      if (end > raw.size()) {
        throw new InvalidField(
            path(name),
            "has raw contents that end within element %d; expected each with its length in four bytes in front"
                .formatted(elements.size()));
      }
      elements.add(raw.substring(at + Integer.BYTES, (int) end));
      at = (int) end;
    }
    return elements;
  }

  private static void checkType(InferInputTensor tensor, String type) {
    if (!tensor.getDatatype().equals(type)) {
      throw new InvalidField(
          path(tensor.getName()) + ".datatype",
          "is \"%s\"; expected %s".formatted(tensor.getDatatype(), type));
    }
  }

  private static void checkShape(InferInputTensor tensor, int elements) {
    long product = 1;
    for (long size : tensor.getShapeList()) {
      if (size < 0 || size > Integer.MAX_VALUE || product * size > Integer.MAX_VALUE) {
        product = -1;
        break;
      }
      product *= size;
    }
    if (product != elements) {
      throw new InvalidField(
          path(tensor.getName()) + ".shape",
          "is %s, but the contents have %d elements; expected as many"
              .formatted(tensor.getShapeList(), elements));
    }
  }

  private static String path(String name) {
    return "inputs." + name;
  }
}
