package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

/** What fits, by numbers that can be followed. */
class MemoryShareTest {
  /** A picture is 2 tiles of 10 tokens: 20 bytes of media tokens and 200 of KV blocks. */
  private static final MemoryShare SHARE =
      new MemoryShare(
          "small",
          10_000,
          new MemoryShare.Held(1000, 1200, 3400, 4000),
          new MemoryShare.Picture(2, 10, 10),
          10,
          90);

  @Test
  void whatIsNotHeldIsDivided() {
    assertThat(SHARE.encodePictures()).isEqualTo(9000 / 20);
    assertThat(SHARE.prefillPictures()).isEqualTo(8800 / 220);
    assertThat(SHARE.decodePictures()).isEqualTo(6600 / 200);
    assertThat(SHARE.apartPictures()).isEqualTo(33);
    assertThat(SHARE.aggregatedPictures()).isEqualTo(6000 / 220);
    assertThat(SHARE.encodePicturesAtOnce()).isEqualTo(9000 / 200);
    assertThat(SHARE.aggregatedPicturesAtOnce()).isEqualTo(6000 / 400);
    assertThat(SHARE.prefillKvTokens()).isEqualTo(880);
    assertThat(SHARE.decodeKvTokens()).isEqualTo(660);
    assertThat(SHARE.aggregatedKvTokens()).isEqualTo(600);
  }

  @Test
  void aNodeThatHoldsMoreThanItMayHasRoomForNothing() {
    MemoryShare none =
        new MemoryShare(
            "none", 3000, SHARE.held(), SHARE.picture(), SHARE.kvTokenBytes(), SHARE.work());
    assertThat(none.apartPictures()).isZero();
    assertThat(none.aggregatedKvTokens()).isZero();
    assertThat(none.encodePictures()).isPositive();
  }
}
