package io.epidote.decode;

import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.kernel.AttentionShape;
import io.epidote.engine.memory.BlockKey;
import io.epidote.node.transfer.WireForm;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;

/** How a decode node has KV blocks sent to it. In its pool they are float32 either way. */
public enum KvWire {
  /** As they are. */
  EXACT,
  /** A byte for each float and a scale for each token of a head: a quarter, which is lossy. */
  INT8;

  /**
   * Reads {@link #word}.
   *
   * @throws EpidoteException.InvalidRequest when it is none of them
   */
  public static KvWire parse(String text) {
    return Arrays.stream(values())
        .filter(wire -> wire.word().equals(text))
        .findFirst()
        .orElseThrow(() ->
            new EpidoteException.InvalidRequest(
                "'%s' is not a form of KV blocks on the wire; expected %s"
                    .formatted(
                        text,
                        Arrays.stream(values())
                            .map(KvWire::word)
                            .collect(Collectors.joining(" or ")))));
  }

  /** As users write it. */
  public String word() {
    return name().toLowerCase(Locale.ROOT);
  }

  WireForm form(AttentionShape shape) {
    return switch (this) {
      case EXACT -> WireForm.EXACT;
      case INT8 -> new WireForm.Int8Kv(shape.keyWidth(), shape.valueWidth());
    };
  }

  /** The keys of blocks that came this way: lossy ones are not what their producer has. */
  List<BlockKey> keys(List<BlockKey> exact) {
    return switch (this) {
      case EXACT -> exact;
      case INT8 -> exact.stream().map(key -> key.variant("kv-wire " + word())).toList();
    };
  }
}
