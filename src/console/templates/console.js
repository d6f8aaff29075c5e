// Counts the time down in which a reward can be canceled. Without it the page says until when.
"use strict";
for (const time of document.querySelectorAll("time.countdown")) {
  const left = Date.parse(time.dateTime) - Date.parse(time.dataset.now);
  const began = performance.now();
  const until = time.textContent;
  const show = () => {
    const seconds = Math.max(0, Math.floor((left - (performance.now() - began)) / 1000));
    const clock = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    time.textContent = `${until} (${clock} ${time.dataset.left})`;
    if (seconds === 0) {
      clearInterval(timer);
    }
  };
  const timer = setInterval(show, 1000);
  show();
}
