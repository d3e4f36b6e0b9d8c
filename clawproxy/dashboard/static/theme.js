// Before anything is drawn: the chosen theme, and that scripts run.
{
  const root = document.documentElement;
  root.classList.add("js");
  let theme = null;
  try {
    theme = localStorage.getItem("clawproxy-theme");
  } catch {
    // Storage may be forbidden; then the system's theme counts.
  }
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
}
