// Counts down the time that is left to cancel a reward. Without this script the page shows the end alone.
"use strict";
for (const time of document.querySelectorAll("time.countdown")) {
  const left = Date.parse(time.dateTime) - Date.parse(time.dataset.now);
  const began = performance.now();
  const until = time.textContent;
  const show = () => {
    const seconds = Math.max(0, Math.floor((left - (performance.now() - began)) / 1000));
    const clock = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    time.textContent = `${until} (${time.dataset.left.replace("{}", clock)})`;
    if (seconds === 0) {
      clearInterval(timer);
    }
  };
  const timer = setInterval(show, 1000);
  show();
}
