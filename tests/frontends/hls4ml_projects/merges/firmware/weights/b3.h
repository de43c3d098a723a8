//Numpy array shape [4]
//Min -0.312763392925
//Max 0.015888843685
//Number of zeros 0

#ifndef B3_H_
#define B3_H_

#ifndef __SYNTHESIS__
fa_bias_t b3[4];
#else
fa_bias_t b3[4] = {0.0158888437, -0.1169826984, -0.3127633929, -0.1028768942};

#endif

#endif
