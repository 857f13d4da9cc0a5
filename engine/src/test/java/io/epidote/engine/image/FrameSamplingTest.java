package io.epidote.engine.image;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class FrameSamplingTest {
  /** What Hugging Face's rule gives, with NumPy's linspace. */
  @ParameterizedTest
  @CsvSource({
    "1, 0.1, 64, 0",
    "10, 1.0, 64, 0",
    "10, 2.5, 64, 0 9",
    "30, 3.0, 64, 0 14 29",
    "4, 10.0, 64, 0 1 2 3",
    "100, 10.0, 8, 0 14 28 42 56 70 84 99",
    "300, 30.0, 8, 10 50 90 130 170 210 250 290",
    "240, 10.0, 8, 0 34 68 102 136 170 204 239",
    "7, 9.0, 4, 0 2 4 6",
  })
  void samplesAVideoAsHuggingFaceDoes(int frames, double duration, int most, String expected) {
    assertThat(new FrameSampling(1, most, 512).ofVideo(frames, duration))
        .isEqualTo(Arrays.stream(expected.split(" ")).map(Integer::valueOf).toList());
  }

  @Test
  void takesChosenFramesEvenlyWhenThereAreTooMany() {
    FrameSampling sampling = new FrameSampling(1, 4, 512);
    assertThat(sampling.ofChosen(1)).isEqualTo(List.of(0));
    assertThat(sampling.ofChosen(4)).isEqualTo(List.of(0, 1, 2, 3));
    assertThat(sampling.ofChosen(10)).isEqualTo(List.of(0, 3, 6, 9));
    assertThat(sampling.ofChosen(4096)).isEqualTo(List.of(0, 1365, 2730, 4095));
  }
}
