# CDTR with SAT's token on CUB: what else Table XII may mean. The map is the product with the class maps, as that of CDTR;
# the gates are trained by SAT's own losses too.
base = 'cdtr-sat_deit-s_cub'
cells = {
    '': {},
    'fused': {'model.head.semantic': True},
    'sat-losses': {
        'model.head.map_losses.loss_area': dict(type='mmwsol.BatchAreaLoss', target=0.25),
        'model.head.map_losses.loss_norm': dict(type='mmwsol.MapNormalizationLoss'),
    },
}
paper = {'cdtr-sat_deit-s_cub': {'loc/top1': 82.20}}
