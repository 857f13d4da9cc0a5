package io.epidote.router.cluster;

import io.epidote.engine.error.EpidoteException;
import java.util.Arrays;
import java.util.Locale;
import java.util.stream.Collectors;

/** Into what the media of a request may be divided over encode nodes. */
public enum Sharding {
  /** Tiles, where that is worth what it costs. */
  TILES,
  /** Whole pictures. */
  PICTURES,
  /** One node encodes all of a request. */
  NONE;

  public String label() {
    return name().toLowerCase(Locale.ROOT);
  }

  /**
   * @throws EpidoteException.InvalidRequest naming what there is
   */
  public static Sharding parse(String label) {
    return Arrays.stream(values())
        .filter(sharding -> sharding.label().equals(label))
        .findFirst()
        .orElseThrow(() ->
            new EpidoteException.InvalidRequest(
                "'%s' is no way to divide media; expected one of %s"
                    .formatted(
                        label,
                        Arrays.stream(values())
                            .map(Sharding::label)
                            .collect(Collectors.joining(", ")))));
  }
}
