-- act: 2 clock cycles of latency, a new vector every cycle.
-- Made for Lattice ECP5 LFE5U-85F, speed 8 at 100 MHz.
-- A value is named after its layer; its suffix _r1, _r2, ... counts the registers behind it.
-- Words are unsigned whatever they stand for: every sign extension is written out.

library ieee;
use ieee.std_logic_1164.all;
use ieee.numeric_std.all;

entity act is
  port (
    clk : in std_logic;
    rst : in std_logic;
    in_valid : in std_logic;
    x0 : in std_logic_vector(2 downto 0);
    x1 : in std_logic_vector(3 downto 0);
    out_valid : out std_logic;
    y0 : out std_logic_vector(7 downto 0);
    y1 : out std_logic_vector(19 downto 0)
  );
end entity act;

architecture rtl of act is
  -- At codes -4 to 3, addressed by their low 3 bits.
  type table_0_words is array (0 to 7) of unsigned(2 downto 0);
  constant table_0 : table_0_words := (
    "100", "110", "111", "111", "000", "001", "001", "010"
  );

  signal valid : std_logic_vector(1 downto 0);

  -- Input x0: in0
  signal x0_0 : unsigned(2 downto 0);

  -- Input x1: in1
  signal x1_0 : unsigned(3 downto 0);

  -- Layer sigmoid
  signal sigmoid_0 : unsigned(2 downto 0);

  -- Layer top
  signal top_0_d : unsigned(4 downto 0);
  signal top_0 : unsigned(3 downto 0);
  signal top_1_d : unsigned(4 downto 0);
  signal top_1 : std_logic;
  signal top_2 : unsigned(6 downto 0);
  signal top_3 : unsigned(3 downto 0);
  signal top_4 : unsigned(2 downto 0);
  signal top_5 : unsigned(2 downto 0);

  -- Output y0: out0
  signal y0_0 : unsigned(2 downto 0);
  signal y0_1 : unsigned(3 downto 0);
  signal y0_2 : std_logic;

  -- Output y1: out1
  signal y1_0 : unsigned(6 downto 0);
  signal y1_2 : unsigned(3 downto 0);
  signal y1_3 : unsigned(2 downto 0);
  signal y1_4 : unsigned(2 downto 0);

begin
  process (clk)
  begin
    if rising_edge(clk) then
      if rst = '1' then
        valid <= (others => '0');
      else
        valid <= valid(0 downto 0) & in_valid;
      end if;
    end if;
  end process;
  out_valid <= valid(1);

  -- Input x0: in0
  process (clk)
  begin
    if rising_edge(clk) then
      x0_0 <= unsigned(x0(2 downto 0));
    end if;
  end process;

  -- Input x1: in1
  process (clk)
  begin
    if rising_edge(clk) then
      x1_0 <= unsigned(x1(3 downto 0));
    end if;
  end process;

  -- Layer sigmoid
  sigmoid_0 <= table_0(to_integer(x0_0));

  -- Layer top
  top_0_d <= ((1 downto 0 => x0_0(2)) & x0_0) - (x1_0(3) & x1_0);
  top_0 <= x1_0 when top_0_d(4) = '1' else x0_0(2) & x0_0;
  top_1_d <= ((1 downto 0 => x0_0(2)) & x0_0) - (x1_0(3) & x1_0);
  top_1 <= top_1_d(4);
  top_2 <= unsigned(signed(x0_0) * signed(x1_0));
  top_3 <= x0_0(2) & x0_0 when top_1 = '1' else x1_0;
  top_4 <= x1_0(3) & (1 downto 0 => (not x1_0(3))) when ((x1_0(3) and (not x1_0(2))) or ((not x1_0(3)) and x1_0(2))) = '1'
    else x1_0(3) & x1_0(1 downto 0);
  top_5 <= x1_0(2 downto 0);

  -- Output y0: out0
  process (clk)
  begin
    if rising_edge(clk) then
      y0_0 <= sigmoid_0;
      y0_1 <= top_0;
      y0_2 <= top_1;
    end if;
  end process;
  y0(2 downto 0) <= std_logic_vector(y0_0);
  y0(6 downto 3) <= std_logic_vector(y0_1);
  y0(7) <= y0_2;

  -- Output y1: out1
  process (clk)
  begin
    if rising_edge(clk) then
      y1_0 <= top_2;
      y1_2 <= top_3;
      y1_3 <= top_4;
      y1_4 <= top_5;
    end if;
  end process;
  y1(6 downto 0) <= std_logic_vector(y1_0);
  y1(9 downto 7) <= std_logic_vector(unsigned'("101"));
  y1(13 downto 10) <= std_logic_vector(y1_2);
  y1(16 downto 14) <= std_logic_vector(y1_3);
  y1(19 downto 17) <= std_logic_vector(y1_4);

end architecture rtl;
